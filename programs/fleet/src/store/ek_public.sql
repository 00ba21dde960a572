-- Version 11. The endorsement key of each device, for challenges that only its TPM can answer. Devices of
-- before have none; it comes when they are onboarded again.
ALTER TABLE devices ADD COLUMN ek_public BLOB;
