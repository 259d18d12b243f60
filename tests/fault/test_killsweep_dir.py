"""The kill sweep with a local directory as target."""
import unittest

import bf
import killsweep


class DirSweep(killsweep.Sweep, bf.TestCase):
    store = "dir"


if __name__ == "__main__":
    unittest.main()
