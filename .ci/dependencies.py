"""Checks the licences of everything that is linked, and that nothing banned crept in.

`deny.toml` says the same for cargo-deny, for those who have it; this needs only cargo.
"""

import json
import re
import subprocess
import sys

ALLOWED = {
    "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
    "ISC", "Zlib", "Unlicense", "CC0-1.0", "Unicode-3.0", "0BSD",
}
# A library that is the scheduler does not link another one, and no second system interface.
BANNED = {"tokio", "mio", "async-std", "smol", "async-io", "polling", "nix", "openssl-sys", "winapi"}


def allowed(expression):
    """Whether a licence expression leaves a choice that is allowed."""
    choices = re.split(r"\s+OR\s+|/", expression.replace("(", "").replace(")", ""))
    return any(
        all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", choice))
        for choice in choices
    )


def main():
    metadata = json.loads(
        subprocess.check_output(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
        )
    )
    wrong = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        licence = package.get("license") or ""
        if not allowed(licence):
            wrong.append(f"{name}: licence '{licence}'")
        if package["name"] in BANNED:
            wrong.append(f"{name}: banned")
    print(f"{len(metadata['packages'])} packages, {len(wrong)} wrong")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


main()
