"""`stand-in SERVICE` runs a service; `stand-in fault MODE` makes the API of this container fail."""

from __future__ import annotations

import sys

from stand_in import services
from stand_in.api import faults

if __name__ == "__main__":
    if sys.argv[1:2] == ["fault"]:
        sys.exit(faults.order(sys.argv[2:]))
    services.SERVICES[sys.argv[1]]()
