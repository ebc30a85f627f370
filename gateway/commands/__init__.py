"""The commands of `gatehouse`, one module for each family: arguments in, lines and an exit status out.

`gateway/cli.py` knows them by name and imports only the one that is asked for. What a command does beyond reading its
arguments and printing lies in the package that it speaks for.
"""
