"""The lab's own settings of a guest, as a layer between the image and the host's disk: files, units that stay off, units that run.

What a virtual machine has and a container has not is made up for here: device entries of fstab, and a machine without udev or consoles.
"""

from __future__ import annotations

from pathlib import Path

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "console-getty.service", "container-getty@.service", "getty.target", "getty@.service", "systemd-udevd.service", "systemd-udev-trigger.service",
    "systemd-networkd-wait-online.service", "systemd-timesyncd.service", "systemd-logind.service", "cloud-init-hotplugd.socket", "exim4.service",
    "logrotate.timer", "systemd-pstore.service", "systemd-tmpfiles-clean.timer", "modprobe@.service", "systemd-binfmt.service", "sshd-keygen.service",
)  # fmt: skip
CLOUD_CFG = """\
# A guest of the lab: its data comes from a seed in its own disk; only the stages that a seed can ask for run.
datasource_list: [NoCloud]
manage_etc_hosts: false
apt_preserve_sources_list: true
package_update: false
package_upgrade: false
ssh_genkeytypes: [ed25519]
network_renderer: networkd
system_info:
  default_user:
    name: debian
    gecos: Debian
    groups: [adm, sudo]
    lock_passwd: true
    shell: /bin/bash
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
  network:
    renderers: [networkd]
cloud_init_modules: [bootcmd, write_files, mounts, set_hostname, update_hostname, users_groups, ssh]
cloud_config_modules: [set_passwords, timezone, runcmd]
cloud_final_modules: [package_update_upgrade_install, write_files_deferred, scripts_user, final_message]
"""
# Device entries of fstab: in a container systemd leaves them out (there is no udev to announce the device), a virtual machine mounts them.
VOLUMES_UNIT = """\
[Unit]
Description=Mount what fstab says of attached volumes
DefaultDependencies=no
After=local-fs-pre.target systemd-tmpfiles-setup-dev.service systemd-remount-fs.service
Before=local-fs.target
ConditionPathExists=/etc/fstab

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount --all --types ext4,xfs

[Install]
WantedBy=local-fs.target
"""
FILES = {
    "etc/cloud/cloud.cfg.d/99-lab.cfg": CLOUD_CFG,
    "etc/systemd/system/lab-volumes.service": VOLUMES_UNIT,
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=32M\nForwardToSyslog=no\nForwardToWall=no\nAudit=no\n",
    "etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=10s\nShowStatus=no\n",
    "etc/ssh/sshd_config.d/50-lab.conf": "UseDNS no\nPasswordAuthentication no\nMaxStartups 50:30:200\n",
}
WANTED = {"local-fs.target": "lab-volumes.service"}


def write(layer: Path) -> None:
    """Fill the layer. It must not change while a host runs on it."""
    for path, text in FILES.items():
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).write_text(text)
    units = layer / "etc/systemd/system"
    for unit in MASKED:
        _link(units / unit, "/dev/null")
    for target, unit in WANTED.items():
        (units / f"{target}.wants").mkdir(exist_ok=True)
        _link(units / f"{target}.wants" / unit, f"/etc/systemd/system/{unit}")


def _link(place: Path, target: str) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)
