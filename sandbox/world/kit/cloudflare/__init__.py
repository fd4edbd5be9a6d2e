"""A double of Cloudflare's API: zones, records, settings, rulesets, tokens; importable without world.

`errors` has Cloudflare's error responses, `records` validates records, `zones` stores the state, `tokens` checks
permissions, `faults` injects faults, `api` routes requests, `server` handles HTTP.
"""
