"""A double of Cloudflare's API: zones, records, settings, rulesets, tokens; importable without world.

`errors` says no in Cloudflare's words, `records` knows what a record may be, `zones` keeps state, `tokens` knows who
may do what, `faults` fails on demand, `api` routes, `server` speaks HTTP.
"""
