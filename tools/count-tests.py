#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""count-tests.py JUNIT.xml: prints 'passed failed skipped' of single test cases."""
import sys
import xml.etree.ElementTree as tree

passed = failed = skipped = 0
for case in tree.parse(sys.argv[1]).getroot().iter('testcase'):
    if case.find('failure') is not None or case.find('error') is not None:
        failed += 1
    elif case.find('skipped') is not None:
        skipped += 1
    else:
        passed += 1
# A test program that died without saying which case it was in.
for suite in tree.parse(sys.argv[1]).getroot().iter('testsuite'):
    if int(suite.get('errors', 0)) and not any(c.find('error') is not None for c in suite.iter('testcase')):
        failed += int(suite.get('errors', 0))
print(passed, failed, skipped)
