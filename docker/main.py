"""What the launcher of the Flex Template runs; all of it is in `pipelines/flex_template.py`."""

import sys

from pipelines.flex_template import launch

sys.exit(launch(sys.argv[1:]))
