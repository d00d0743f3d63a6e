"""A small LTI 1.3 platform that behaves as Moodle 4.5.6 was measured to. It imports nothing of labkit's nor pylti1p3.

``with running_platform(tool) as platform: …``.
"""

from tests.support.platform.course import Activity, Course, LineItem, Person, Site
from tests.support.platform.server import Fault, Platform, running_platform

__all__ = ["Activity", "Course", "Fault", "LineItem", "Person", "Platform", "Site", "running_platform"]
