"""Where the shop's things are on an app host: users, files, units, ports."""

from __future__ import annotations

from contract.hosts import PORTS

USER = "shop"
ENV = "/etc/shop/env"  # of all processes
PROCESSES = "/etc/shop/processes"  # what each is told beside it
SHOP = "/etc/shop"
# What customers are shown where an ACME CA issues it: a link to the folder that holds certificate and key, so both turn in one step. It leads to that of the
# secrets until this host has taken one (`certificate take`), which is in a folder beside whose name begins so.
SHOWN, TAKEN = "/etc/shop/shown", "acme-"
TLS = "/etc/shop/tls"  # what the shop shows of itself: it may read the keys there, and neither change them nor hand them to other users
WEB, RELEASE, NGINX = "shop-web.service", "shop-release.service", "nginx.service"
SPARE = "shop-web.spare.service"  # beside WEB while that begins anew (`spare`)
CACHES_UNIT, HAPROXY = (
    "dr-caches.service",
    "haproxy.service",
)  # our way to the caches; the package's own, which we do not use
PUMA = "127.0.0.1:9292"  # where the process `web` listens, whatever it is
SPARE_PUMA = "127.0.0.1:9293"  # and the one beside it
NGINX_STATUS = "127.0.0.1:9113"  # its own counters, for this host's figures
CACHES = "127.0.0.1:6379"  # a way to the cache that leads, for who knows nothing of several of them
ROLE_FILE = "/var/lib/dr/role.json"
HTTP_PORT, HTTPS_PORT, HEALTH_PORT, FORWARD_PORT = (PORTS[name] for name in ("http", "https", "health", "forward"))
# Packets of an established connection that nobody acknowledges are sent again this often, 6.2 s in all (tcp(7), tcp_retries2; the kernel's own
# 15 times take a quarter of an hour): a link that is cut while requests are on it must not hold customers for longer than they wait.
RETRIES = 4
BESIDE = "DR_SECRET_KEY_BASE_BESIDE"  # there while SECRET_KEY_BASE is rotated: the one that is new, or was good before
# The role as nginx knows it: a file that is there where requests are served and not forwarded. It is looked at with each request, so a turn of the
# role costs no connection: a reload closes those that are kept, also at the moment in which a customer sends on one, and no browser repeats a POST.
SERVES = "/etc/nginx/dr-serves"
# In the same way: there while requests go to the one beside `web`. It goes with the machine's power, as that one does.
SPARE_LEADS = "/run/dr/app-spare"
