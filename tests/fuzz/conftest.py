"""Shows the figures of all doors when the tests end."""


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    lines = [value for report in reports for name, value in report.user_properties if name == "fuzz"]
    if lines:
        terminalreporter.section("damaged inputs and kills")
        terminalreporter.write_line("\n".join(lines))
