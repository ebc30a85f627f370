"""The front: HTTP in, judged HTTP out, and a record of every decision. No torch in this process."""
