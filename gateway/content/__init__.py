"""The text of exchanges, sealed: readable with a reason, erasable for one person, provable while it is there."""
