"""A program of the guests' image with files of a test above it, in a mount namespace of its own: the image is never written to, and all goes with the
process."""

from __future__ import annotations

from pathlib import Path

from lab.machines import image

_INSIDE = """
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
cp -a "$3/." "$2/upper/"
chown -R 0:0 "$2/upper"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --rbind /dev "$2/root/dev"
mount -t proc proc "$2/root/proc"
mount -t tmpfs none "$2/root/run"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
exec chroot "$2/root" sh -ec "$4"
"""


def rooted(place: Path, tree: Path, script: str) -> list[str]:
    """The command. `place`: an empty folder that is made for it; `tree`: files as they shall lie below `/`; `script`: for the image's shell."""
    place.mkdir(parents=True)
    return ["unshare", "--mount", "sh", "-ec", _INSIDE, "sh", str(image.ensure()), str(place), str(tree), script]
