"""Tool definitions: a YAML file on model, behaviour, history limits and settings."""

from chatlab.tools.definition import HistoryLimits, ToolDefinition, Variable
from chatlab.tools.params import check_params
from chatlab.tools.parse import parse_tool

__all__ = ["HistoryLimits", "ToolDefinition", "Variable", "check_params", "parse_tool"]
