"""The shim: compiled when it is needed, and switched on by the environment of one command."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Shim:
    library: Path

    def environment(self, root: Path, **settings: str) -> dict[str, str]:
        """What makes a command run over the shim: `log`, `fail`, `fired` and `clock` as shim.c says."""
        named = {f"TORTURE_{name.upper()}": value for name, value in settings.items()}
        return {"LD_PRELOAD": str(self.library), "TORTURE_ROOT": str(root), **named}


def compiled(into: Path) -> tuple[Shim | None, str]:
    """The shim; else why there is none on this machine."""
    if not sys.platform.startswith("linux"):
        return None, f"the shim needs Linux, and this is {sys.platform}"
    cc = os.environ.get("CC") or "cc"
    if not shutil.which(cc):
        return None, f"there is no C compiler ({cc})"
    library = into / "shim.so"
    command = [cc, "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library), str(HERE / "shim.c"), "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"the shim does not compile here: {done.stderr.strip().splitlines()[-1:]}"
    return Shim(library), ""
