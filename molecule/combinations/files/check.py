"""Check components in private views of this host, with the collection's own code; print the failures as JSON."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "vise_platform"


def check(case: dict[str, Any]) -> str:
    """Return why the programs reject the files of one component, or an empty string."""
    host = importlib.import_module(f"{PACKAGE}.component.host")
    model = importlib.import_module(f"{PACKAGE}.component.model")
    nodes = {one.pop("path"): model.Node(**one) for one in case["nodes"]}
    foreign = host.expand_globs(case["purge"]) - {*nodes}
    nodes |= dict.fromkeys(foreign, model.ABSENT)
    changes = [model.Change(path, model.ABSENT, node) for path, node in nodes.items()]
    failure: str = host.check_in_private_namespace(changes, case["checks"], list(nodes))
    return failure


def main(path: str) -> None:
    """Unpack the collection's code and check each case."""
    work = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for name, text in work["sources"].items():
            file = Path(folder, PACKAGE, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        sys.path.insert(0, folder)
        with multiprocessing.Pool(2) as pool:
            print(json.dumps(pool.map(check, work["cases"], chunksize=1)))


main(sys.argv[1])
