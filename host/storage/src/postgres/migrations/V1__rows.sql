-- Rows, and the keys they are sealed under. Paths and tenants are compared byte by byte, as everywhere else.
CREATE TABLE rows (
  tenant  text   COLLATE "C" NOT NULL,
  path    bytea  NOT NULL,
  version bigint NOT NULL,
  value   bytea  NOT NULL,
  due     bigint,
  key     bigint NOT NULL,
  PRIMARY KEY (tenant, path)
);
CREATE INDEX rows_due ON rows (due) WHERE due IS NOT NULL;

CREATE TABLE keys (
  purpose text   NOT NULL,
  id      bigint NOT NULL,
  wrapped bytea  NOT NULL,
  PRIMARY KEY (purpose, id)
);

-- The audit's chain. Its head is one row, which whoever commits holds: so commits have an order, and a line
-- follows the one before it.
CREATE TABLE chain (
  seq    bigint PRIMARY KEY,
  tenant text  COLLATE "C" NOT NULL,
  path   bytea NOT NULL,
  digest bytea NOT NULL,
  link   bytea NOT NULL
);
CREATE UNIQUE INDEX chain_line ON chain (tenant, path);
CREATE TABLE chain_head (
  one  boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq  bigint NOT NULL,
  link bytea  NOT NULL,
  mac  bytea
);
INSERT INTO chain_head (seq, link) VALUES (0, '');

-- Nothing crosses tenants, whatever a statement says: a transaction names those that it is about, and sees no
-- others. Owners of tables are held to it too; superusers are not, so let Firn's user be none.
ALTER TABLE rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE rows FORCE ROW LEVEL SECURITY;
-- (What is named is read once for a statement, and not once for a row.)
CREATE POLICY those_named ON rows USING (
  tenant = ANY ((SELECT string_to_array(current_setting('firn.tenants', true), ','))::text[])
  OR (SELECT current_setting('firn.tenants', true) = '*')
);
