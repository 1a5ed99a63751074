"""The delivery service as it is, only that Google is where a platform's credentials say.

The real type ignores that, for it could lead anywhere; the tests' Google Drive is on this machine.
"""

from services.chassis.process import run
from services.delivery.app import build
from services.delivery.destinations.gdrive import destination as gdrive
from services.delivery.settings import DeliverySettings
from tests.contract.destinations.rigs.gdrive import local

if __name__ == "__main__":
    gdrive.DESTINATION = gdrive.GoogleDrive(local)
    run("delivery", DeliverySettings, build)
