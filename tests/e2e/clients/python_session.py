"""A session with a client from openapi-python-client: python python_session.py URL KEY SFTP_CONFIG."""

import hashlib
import json
import sys
import uuid

from catalog_exports_client import AuthenticatedClient
from catalog_exports_client.api.deliveries import create_delivery, list_job_deliveries
from catalog_exports_client.api.exports import (
    create_csv_export,
    create_excel_export,
    create_json_export,
    create_zip_export,
)
from catalog_exports_client.api.jobs import delete_job, download_file, get_job, list_jobs
from catalog_exports_client.api.limits import get_limits
from catalog_exports_client.api.platforms import (
    create_platform,
    delete_platform,
    get_platform,
    list_platforms,
    test_platform,
    update_platform,
)
from catalog_exports_client.api.schedules import (
    create_schedule,
    delete_schedule,
    get_schedule,
    list_runs,
    list_upcoming_times,
    run_schedule,
)
from catalog_exports_client.models import (
    Accepted,
    CsvOptions,
    CsvOptionsFilters,
    CsvSchedule,
    CsvScheduleOptions,
    ExcelOptions,
    FilterOperators,
    Job,
    JobStatus,
    JsonOptions,
    NewCsvSchedule,
    NewDelivery,
    NewSftpPlatform,
    PlatformChange,
    PlatformPage,
    PlatformType,
    Problem,
    SftpConfig,
    SftpConfigChange,
    SftpPlatform,
    StoredSftpConfig,
    ZipOptions,
)
from catalog_exports_client.types import File, Unset


def finished(client: AuthenticatedClient, job_id: uuid.UUID) -> Job:
    while True:
        job = get_job.sync(job_id, client=client, prefer="wait=30")
        assert isinstance(job, Job), job
        if job.status is not JobStatus.PROCESSING:
            assert job.status is JobStatus.COMPLETED, job
            return job


def check_file(client: AuthenticatedClient, job: Job) -> bytes:
    found = download_file.sync(job.id, client=client)
    assert isinstance(found, File), found
    content = bytes(found.payload.read())
    assert len(content) == job.file_size
    assert hashlib.sha256(content).hexdigest() == job.sha256
    return content


def check_exports(client: AuthenticatedClient) -> Job:
    filters = CsvOptionsFilters()
    filters["price"] = FilterOperators(gte=30)
    accepted = create_csv_export.sync(client=client, body=CsvOptions(filters=filters, utf8_bom=False))
    assert isinstance(accepted, Accepted), accepted
    job = finished(client, accepted.id)
    assert isinstance(job.progress, Unset)
    assert isinstance(job.error, Unset)
    assert job.options["filters"] == {"price": {"gte": 30}}
    assert check_file(client, job).startswith(b"id,sku,")
    for made in (
        create_json_export.sync(client=client, body=JsonOptions(json_lines=True), prefer="wait=30"),
        create_json_export.sync(client=client, body=JsonOptions(pretty=False), prefer="wait=30"),
        create_excel_export.sync(client=client, body=ExcelOptions(), prefer="wait=30"),
        create_zip_export.sync(client=client, body=ZipOptions(max_rows_per_file=1), prefer="wait=30"),
    ):
        assert isinstance(made, (Accepted, Job)), made
        check_file(client, finished(client, made.id))
    assert len(list_jobs.sync(client=client, limit=2).items) == 2
    return job


def check_platform(client: AuthenticatedClient, config: SftpConfig) -> uuid.UUID:
    made = create_platform.sync(client=client, body=NewSftpPlatform("python", "sftp", config))
    assert made.platform_type is PlatformType.SFTP, made
    tested = test_platform.sync(made.id, client=client)
    assert tested.ok, tested
    change = PlatformChange(name="renamed", config=SftpConfigChange(path="other", on_conflict=None))
    assert isinstance(update_platform.sync(made.id, client=client, body=change), SftpPlatform)
    shown = get_platform.sync(made.id, client=client)
    assert isinstance(shown, SftpPlatform), shown
    assert isinstance(shown.config, StoredSftpConfig)
    assert (shown.name, shown.config.path, shown.config.password) == ("renamed", "other", "********")
    page = list_platforms.sync(client=client)
    assert isinstance(page, PlatformPage), page
    assert page.next_cursor is None
    assert made.id in [one.id for one in page.items]
    return uuid.UUID(str(made.id))


def check_delivery(client: AuthenticatedClient, job: Job, platform_id: uuid.UUID) -> None:
    made = create_delivery.sync(job.id, client=client, body=NewDelivery(platform_id))
    assert made.platform_id == platform_id, made
    assert [one.id for one in list_job_deliveries.sync(job.id, client=client).items] == [made.id]


def check_schedule(client: AuthenticatedClient, platform_id: uuid.UUID) -> None:
    options = CsvScheduleOptions(include_fields=["sku", "price"], file_name="{schedule}_{date}")
    body = NewCsvSchedule(platform_id, "Prices", "0 6 * * MON-FRI", timezone="Europe/Paris", options=options)
    made = create_schedule.sync(client=client, body=body)
    shown = get_schedule.sync(made.id, client=client)
    assert isinstance(shown, CsvSchedule), shown
    assert shown.options == options
    times = list_upcoming_times.sync(made.id, client=client, count=3)
    assert [one.at for one in times.items] == sorted(one.at for one in times.items)
    run = run_schedule.sync(made.id, client=client)
    assert list_runs.sync(made.id, client=client).items[0].id == run.id
    assert delete_schedule.sync_detailed(made.id, client=client).status_code == 204


def main(url: str, key: str, sftp: str) -> None:
    client = AuthenticatedClient(url, key)
    job = check_exports(client)
    platform_id = check_platform(client, SftpConfig.from_dict(json.loads(sftp)))
    check_delivery(client, job, platform_id)
    check_schedule(client, platform_id)
    missing = get_job.sync(uuid.UUID(int=0), client=client)
    assert isinstance(missing, Problem), missing
    assert missing.code == "job_not_found"
    assert get_limits.sync(client=client).jobs.used == 0
    assert delete_platform.sync_detailed(platform_id, client=client, force=True).status_code == 204
    assert delete_job.sync_detailed(job.id, client=client).status_code == 204


if __name__ == "__main__":
    main(*sys.argv[1:])
