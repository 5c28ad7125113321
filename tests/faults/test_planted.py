"""The list of planted faults fits the package: each text is there once, and each test is a file."""

from mutations import ROOT, planted


def test_each_planted_fault_has_one_place():
    faults = planted()
    assert len(faults) >= 60
    for fault in faults:
        assert (ROOT / "curated_retraining" / fault.module).read_text().count(fault.old) == 1, fault
        assert fault.old != fault.new and all((ROOT / test).is_file() for test in fault.tests), fault
