-- Background jobs.

-- Enqueues a job and returns its id. Returns NULL, and enqueues nothing, where a job with the same `p_uniq` waits
-- already: the function locks that job until the caller commits, so that it does not begin before it can see what the
-- caller writes, and the earlier of the two times applies. The tables belong to the engine and are looked up when the
-- function is called.
CREATE OR REPLACE FUNCTION enqueue(
    p_job text, p_args json, p_id text, p_uniq text, p_part text, p_place text, p_due bigint
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOOP
        BEGIN
            RETURN dbos.enqueue_workflow(
                p_job, 'job:' || p_job, ARRAY[p_args], workflow_id => p_id, app_version => '1',
                deduplication_id => p_uniq, queue_partition_key => p_part, authenticated_user => p_place,
                delay_until_epoch_ms => p_due, application_name => 'crewship'
            );
        EXCEPTION WHEN unique_violation THEN
            UPDATE dbos.workflow_status SET delay_until_epoch_ms = coalesce(p_due, 0)
            WHERE queue_name = 'job:' || p_job AND deduplication_id = p_uniq AND status = 'DELAYED'
                AND delay_until_epoch_ms > coalesce(p_due, 0);
            PERFORM FROM dbos.workflow_status
            WHERE queue_name = 'job:' || p_job AND deduplication_id = p_uniq FOR SHARE;
            IF FOUND THEN
                RETURN NULL;
            END IF; -- it has begun or ended since: once more
        END;
    END LOOP;
END
$$;
