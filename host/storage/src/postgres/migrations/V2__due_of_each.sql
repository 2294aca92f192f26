-- What is due of one tenant is found without a look at what others have.
CREATE INDEX rows_due_of ON rows (tenant, due) WHERE due IS NOT NULL;
