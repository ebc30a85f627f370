"""A policy for tests of processes: it blocks `BAD` and secrets, and its VERSION is put in. Not a test itself."""

from __future__ import annotations

POLICY = """\
gatehouse: policy/v1
name: small
version: VERSION
owner: tests@gatehouse.example
detectors: {creds: {use: secrets}, bad: {use: regex, pattern: BAD}}
rules:
  - {id: creds, on: [user], when: {creds: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: bad, on: [user], when: {bad: {count: {gte: 1}}}, do: {block: {code: bad}}}
  - {id: pass, on: [user, output], do: allow}
"""
