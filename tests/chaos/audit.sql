-- What really was committed, written down by the database itself, in the transaction that committed it.
CREATE SCHEMA chaos;

CREATE TABLE chaos.outbox (LIKE forecast_consumer.outbox);
CREATE FUNCTION chaos.copy_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.outbox SELECT * FROM fresh;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT ON forecast_consumer.outbox REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.copy_outbox();

CREATE TABLE chaos.status (execucao_id text, before text, after text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.note_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.status VALUES (OLD.id, OLD.status::text, CASE TG_OP WHEN 'DELETE' THEN 'DELETED' ELSE NEW.status::text END);
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE OF status ON execucao_planejamento FOR EACH ROW EXECUTE FUNCTION chaos.note_status();
CREATE TRIGGER audit_delete AFTER DELETE ON execucao_planejamento FOR EACH ROW EXECUTE FUNCTION chaos.note_status();

-- The epochs that a fenced transaction claims (tests/chaos/service.py sets them) beside those that are true.
CREATE TABLE chaos.fenced_write (place text, execucao_id text, claimed bigint, held bigint, state text);
CREATE FUNCTION chaos.note_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('chaos.leases', true), '') <> '' THEN
        INSERT INTO chaos.fenced_write
        SELECT TG_TABLE_NAME, c.execucao_id, claimed.epoch::bigint, c.lease_epoch, c.state
          FROM json_each_text(current_setting('chaos.leases')::json) AS claimed(execucao_id, epoch)
          JOIN forecast_consumer.command AS c ON c.execucao_id = claimed.execucao_id AND c.comando <> 'cancel';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_epoch AFTER UPDATE ON forecast_consumer.command FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_epoch();
CREATE TRIGGER audit_epoch AFTER UPDATE ON forecast_consumer.chunk FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_epoch();
CREATE TRIGGER audit_epoch AFTER INSERT ON forecast_resultado FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_epoch();
CREATE TRIGGER audit_epoch AFTER INSERT ON forecast_metrica FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_epoch();
CREATE TRIGGER audit_epoch AFTER INSERT OR UPDATE ON execucao_step_log FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_epoch();
