"""The explicit providers of a stack. Never the default ones: a resource without a provider fails instead of landing somewhere.

`delayed_auth` and `ignore_init_error` let a run that touches no cloud resource go through while both APIs are down.
"""

from __future__ import annotations

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack
import pulumi_ovh as ovh

from components.settings import Settings


def providers(settings: Settings) -> list[pulumi.ProviderResource]:
    """Everything that a stack's components are given; which site it is shows in the inputs, not in the names."""
    return [_openstack(settings), _ovh(settings), command.Provider("command")]


def _openstack(settings: Settings) -> openstack.Provider:
    """OpenStack in the stack's own region."""
    stack = settings.openstack
    return openstack.Provider(
        "openstack",
        auth_url=stack.auth_url,
        user_name=stack.user,
        password=pulumi.Output.secret(settings.secrets.openstack_password),
        tenant_id=stack.project_id,
        tenant_name=stack.project_name,
        user_domain_name=stack.domain,
        project_domain_name=stack.domain,
        region=settings.region.compute_region,
        delayed_auth=True,
        max_retries=5,
        endpoint_overrides=dict(stack.endpoint_overrides) or None,
    )


def _ovh(settings: Settings) -> ovh.Provider:
    """The OVHcloud API; the plugin's schema marks none of its keys as secret, so they are wrapped here."""
    keys = settings.secrets.ovh
    return ovh.Provider(
        "ovh",
        endpoint=settings.ovh.endpoint,
        application_key=pulumi.Output.secret(keys.application_key),
        application_secret=pulumi.Output.secret(keys.application_secret),
        consumer_key=pulumi.Output.secret(keys.consumer_key),
        api_rate_limit=5,
        ignore_init_error=True,
    )
