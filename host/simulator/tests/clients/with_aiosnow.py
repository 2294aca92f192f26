"""aiosnow: models, asynchronous, conditions as expressions."""

import asyncio
import sys

import aiosnow
from aiosnow.models.table.declared import IncidentModel as Incident
from aiosnow.models.table.declared import JournalModel as Journal


async def main(host):
    client = aiosnow.Client(host, basic_auth=("integration", "integration"), use_ssl=False)
    async with Incident(client, table_name="incident") as incidents:
        made = await incidents.create(
            {"short_description": "by aiosnow", "impact": 1, "urgency": 1, "comments": "hello"}
        )
        assert made["number"].startswith("INC"), made.data
        assert made["priority"].key == 1, made.data
        found = await incidents.get(Incident.short_description.starts_with("by aio"), limit=5)
        assert [row["number"] for row in found] == [made["number"]]
        urgent = await incidents.get((Incident.priority <= 2) & (Incident.number == made["number"]))
        assert len(urgent.data) == 1
        changed = await incidents.update(made["sys_id"], {"state": 2})
        assert changed["state"].key == 2, changed.data
        one = await incidents.get_one(Incident.number == made["number"])
        assert one["state"].value == "In Progress"
        async with Journal(client, table_name="sys_journal_field") as journal:
            said = await journal.get(Journal.element_id == made["sys_id"])
            assert [entry["value"] for entry in said] == ["hello"], said.data
        try:
            await incidents.update(made["sys_id"], {"state": 6})
            raise SystemExit("a data policy was passed by")
        except aiosnow.exceptions.RequestError as refused:
            assert "Data Policy" in str(refused), refused
        await incidents.delete(made["sys_id"])
    print("aiosnow")


asyncio.run(main(sys.argv[1]))
