"""Campaigns: inject one kind of fault many times and count the results; too long for `make test`.

python -m tools.campaigns corruption --times 100 --seed 7
python -m tools.campaigns kills --times 20
python -m tools.campaigns pitr --times 20
python -m tools.campaigns runs --times 80
python -m tools.campaigns drills --times 20
"""
