"""Request a site 20 times per second, as visitors do: load.py NAME LOG. The file LOG.end ends it.

Each request resolves the name, connects by one of its addresses and verifies the certificate, and writes one line.
"""

import pathlib
import subprocess
import sys
import threading
import time

NAME, LOG = sys.argv[1], pathlib.Path(sys.argv[2])
END = pathlib.Path(f"{LOG}.end")
THREADS, PAUSE = 4, 0.2
lock = threading.Lock()


def visit(family: str) -> None:
    while not END.exists():
        begin = time.time()
        argv = ["curl", "-sS", family, "-o", "/dev/null", "-w", "%{http_code} %{remote_ip}", "--max-time", "10"]
        done = subprocess.run([*argv, f"https://{NAME}/"], capture_output=True, text=True, check=False)
        with lock, LOG.open("a") as log:
            log.write(f"{done.stdout} exit={done.returncode} {begin:.1f} {done.stderr.strip()}\n")
        time.sleep(max(0.0, PAUSE - (time.time() - begin)))


for path in (LOG, END):
    path.unlink(missing_ok=True)
for number in range(THREADS):
    threading.Thread(target=visit, args=("-4" if number % 2 else "-6",)).start()
