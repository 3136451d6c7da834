"""Watch a training for reward hacking, beside any trainer."""

from gaard.monitor.rules import RULES
from gaard.monitor.watching import Alarm, Monitor, Report
from gaard.monitor.words import PaidWord

__all__ = ["RULES", "Alarm", "Monitor", "PaidWord", "Report"]
