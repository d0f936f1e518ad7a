"""The program: python -m bertie, and the command `bertie` that the package installs."""

import os
import sys

from ._program import path


def main():
    os.execv(path(), ["bertie", *sys.argv[1:]])


if __name__ == "__main__":
    main()
