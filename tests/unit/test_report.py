"""The rehearsal's table says what happened, and does not hide what went wrong."""

from lab.rehearsal.report import Report


def test_a_missed_goal_is_marked_and_is_no_fault():
    report = Report()
    report.step("planned move", 4.2, 3)
    report.step("previews empty", detail="both")
    assert "4.2       3  over" in report.text()
    assert report.faults == []
    assert report.text().endswith("all as it should be")


def test_a_fault_is_kept_and_in_the_text():
    report = Report()
    report.expect(True, "never")
    report.expect(False, "2 orders were lost in a planned move")
    report.orders["lost"] = 2
    assert report.faults == ["2 orders were lost in a planned move"]
    assert "FAULT: 2 orders were lost in a planned move" in report.text()
    assert "all as it should be" not in report.text()
