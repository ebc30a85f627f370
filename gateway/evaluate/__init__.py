"""`gatehouse eval` and `calibrate`: how good a guard is on a labelled set, and where its threshold belongs."""
