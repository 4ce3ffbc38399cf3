"""Every scenario by its name, for `fault=NAME` and the models `sim/fault-NAME`.

Each tells the same story (see `shapes`), as far as it tells anything. Toxics work on them as on real answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.simulator.dialects import DIALECTS
from chatlab.simulator.refused import REFUSED
from chatlab.simulator.scenario import Scenario

SCENARIOS: Mapping[str, Scenario] = {**DIALECTS, **REFUSED}
