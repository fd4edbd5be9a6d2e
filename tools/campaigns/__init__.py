"""Faults injected many times over, and counted: too long for `make test`, for everybody to start.

python -m tools.campaigns corruption --times 100 --seed 7
python -m tools.campaigns kills --times 20
python -m tools.campaigns pitr --times 20
python -m tools.campaigns runs --times 80
python -m tools.campaigns drills --times 20
"""
