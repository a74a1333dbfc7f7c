"""Print the lowest versions that pyproject.toml allows, one ``name==version`` a line, for pip."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOUND = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?\s*(?:>=|==)\s*(?P<version>[\w.]+)")


def lowest(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    """Yield the lowest version of each requirement, those of extras after the package's own."""
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for requirement in wanted:
        match = BOUND.match(requirement)
        if match is None:
            sys.exit(f"pyproject.toml: {requirement!r} has no lower bound; write NAME>=VERSION")
        yield f"{match['name']}=={match['version']}"


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    sys.stdout.writelines(
        f"{one}\n" for one in lowest(tomllib.loads(text)["project"], sys.argv[1:])
    )
