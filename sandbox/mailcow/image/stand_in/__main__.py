"""`stand-in SERVICE` becomes a service; `stand-in fault MODE` makes the API of this container fail."""

from __future__ import annotations

import os
import signal
import sys

from stand_in import services
from stand_in.api import faults

if __name__ == "__main__":
    if sys.argv[1:2] == ["fault"]:
        sys.exit(faults.order(sys.argv[2:]))
    # The first process of a container ends by no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    services.SERVICES[sys.argv[1]]()
