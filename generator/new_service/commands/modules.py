"""List the modules of the template."""

from ..system.screen import Report
from ..template import source, team
from ..template.conditions import Conditions
from .offers import summary


def list_modules(report: Report) -> None:
    """Print the modules of the template, each with its summary and needs."""
    ours = team.read()
    with source.opened(team.template_url(None, ours), ours.template_version) as template:
        conditions = Conditions(template.questions)
        rows = [
            {"name": name, "summary": summary(label), "needs": conditions.needs(name, {})}
            for name, label in template.questions.modules.items()
        ]
    if report.as_json:
        report.document(rows)
        return
    for row in rows:
        needs = f"   needs {', '.join(row['needs'])}" if row["needs"] else ""
        report.say(f"  {row['name']:<12} {row['summary']}{needs}")
    if not rows:
        report.say("this template has no modules yet.")
