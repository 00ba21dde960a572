-- Version 13. What a device's maker says of it, where it was onboarded by its IAK. `ek_issuer` is empty where no
-- certificate of its endorsement key was looked at.
ALTER TABLE devices ADD COLUMN iak_sha256 TEXT;
ALTER TABLE devices ADD COLUMN iak_issuer TEXT;
ALTER TABLE devices ADD COLUMN hardware_kind TEXT;
ALTER TABLE devices ADD COLUMN hardware_serial TEXT;
