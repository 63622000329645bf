"""`python -m depth_ros VERB` is `depth_ros VERB`."""

import sys

from depth_ros.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
