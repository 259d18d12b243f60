"""The kill sweep with a real S3 server as target."""
import unittest

import bf
import killsweep


class S3Sweep(killsweep.Sweep, bf.TestCase):
    store = "s3"


if __name__ == "__main__":
    unittest.main()
