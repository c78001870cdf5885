"""One week of hiring as each vendor shows it to whoever asks its API, and tells it by webhook. One module a vendor.

On Monday somebody applies and is submitted to the manager, who takes them on on Tuesday; the interview, booked the same day, is
on Wednesday, and the manager's scorecard comes on Thursday morning. What the vendor does not tell is not expected of it.
"""

from tests.weeks.ashby import Ashby
from tests.weeks.greenhouse import Greenhouse, GreenhouseV1
from tests.weeks.lever import Lever
from tests.weeks.merge import Merge
from tests.weeks.smartrecruiters import SmartRecruiters
from tests.weeks.teamtailor import Teamtailor
from tests.weeks.week import Week
from tests.weeks.workable import Workable

WEEKS: tuple[type[Week], ...] = (Ashby, Greenhouse, GreenhouseV1, Lever, Merge, SmartRecruiters, Teamtailor, Workable)
