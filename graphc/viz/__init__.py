"""Pictures of graphs, of schedules and of what passes do; reports to look around in."""

from graphc.viz.changes import changes_svg
from graphc.viz.dot import to_dot
from graphc.viz.notebook import function_html
from graphc.viz.render import render, save
from graphc.viz.report_page import report, report_html
from graphc.viz.schedule import schedule_svg
from graphc.viz.svg import to_svg

__all__ = [
    "changes_svg",
    "function_html",
    "render",
    "report",
    "report_html",
    "save",
    "schedule_svg",
    "to_dot",
    "to_svg",
]
