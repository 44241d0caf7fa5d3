-- Calls of models, what they cost, and budgets.

-- One call of a model, booked with the step of the run that made it: once, however often the step is begun.
CREATE TABLE model_calls (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    run_id varchar(200) NOT NULL,
    step varchar(400) NOT NULL,
    agent_id varchar(200),
    crew_id varchar(200),
    chat_id varchar(200),
    mission_id varchar(200),
    provider varchar(200) NOT NULL,
    model varchar(200) NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    cost_micros bigint,
    estimated boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (workspace_id, run_id, step)
);
CREATE INDEX model_calls_agent_id_idx ON model_calls (workspace_id, agent_id, created_at, id);
CREATE INDEX model_calls_crew_id_idx ON model_calls (workspace_id, crew_id, created_at, id);
CREATE INDEX model_calls_list_idx ON model_calls (workspace_id, created_at, id);
CREATE INDEX model_calls_mission_id_idx ON model_calls (workspace_id, mission_id, created_at, id);
CREATE INDEX model_calls_model_idx ON model_calls (workspace_id, model, created_at, id);

-- The sums of a day, by UTC, for an agent in a crew and a model: over the rows of all slots. `crew_id` is empty for an
-- agent without a crew, `agent_id` for a call of none.
CREATE TABLE cost_days (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    day date NOT NULL,
    agent_id varchar(200) NOT NULL,
    crew_id varchar(200) NOT NULL,
    model varchar(200) NOT NULL,
    slot smallint NOT NULL,
    calls bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (workspace_id, day, agent_id, crew_id, model, slot)
);

-- An amount of money for calls of models, of a workspace, or of the crew, agent or mission that it names. Amounts are
-- in millionths of a US dollar.
CREATE TABLE budgets (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    scope text NOT NULL CHECK (scope IN ('workspace', 'crew', 'agent', 'mission')),
    crew_id text,
    agent_id text,
    mission_id text,
    period text NOT NULL CHECK (period IN ('day', 'total')),
    amount_micros bigint NOT NULL,
    reservation_micros bigint NOT NULL,
    soft_limit_percent integer,
    hard_stop boolean NOT NULL,
    warned_in varchar(100),
    exceeded_in varchar(100),
    UNIQUE NULLS NOT DISTINCT (workspace_id, crew_id, agent_id, mission_id, period),
    UNIQUE (workspace_id, id),
    CONSTRAINT budgets_subject_check
        CHECK (num_nonnulls(crew_id, agent_id, mission_id) = CASE scope WHEN 'workspace' THEN 0 ELSE 1 END
            AND CASE scope WHEN 'crew' THEN crew_id IS NOT NULL WHEN 'agent' THEN agent_id IS NOT NULL
            WHEN 'mission' THEN mission_id IS NOT NULL ELSE true END),
    CONSTRAINT budgets_amounts_check
        CHECK (amount_micros > 0 AND reservation_micros > 0 AND soft_limit_percent BETWEEN 1 AND 100),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX budgets_agent_id_idx ON budgets (workspace_id, agent_id, created_at, id) WHERE agent_id IS NOT NULL;
CREATE INDEX budgets_crew_id_idx ON budgets (workspace_id, crew_id, created_at, id) WHERE crew_id IS NOT NULL;
CREATE INDEX budgets_list_idx ON budgets (workspace_id, created_at, id);
CREATE INDEX budgets_mission_id_idx ON budgets (workspace_id, mission_id, created_at, id) WHERE mission_id IS NOT NULL;

-- What calls have spent of a budget in a `span`, which is a day of UTC or `total`: over the rows of all slots (see
-- models.resources.costs). It has no foreign key: a call is booked even if somebody deletes the budget meanwhile.
CREATE TABLE budget_spends (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    budget_id varchar(200) NOT NULL,
    span varchar(100) NOT NULL,
    slot smallint NOT NULL,
    micros bigint NOT NULL,
    PRIMARY KEY (workspace_id, budget_id, span, slot)
);

-- What is set aside of a budget for a run under way: `granted_micros` before it starts; `micros` is left of it. A
-- trigger removes it when the run ends, in whatever way.
CREATE TABLE run_reservations (
    workspace_id text NOT NULL,
    run_id text NOT NULL,
    budget_id text NOT NULL,
    granted_micros bigint NOT NULL,
    micros bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, run_id, budget_id),
    FOREIGN KEY (workspace_id, budget_id) REFERENCES budgets (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX run_reservations_budget_id_idx ON run_reservations (workspace_id, budget_id);

-- What is set aside of a budget for one call of a model that no run makes, until it is booked. It counts until
-- `expires_at`: a process that died gives nothing back.
CREATE TABLE call_reservations (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    call_id varchar(200) NOT NULL,
    budget_id text NOT NULL,
    micros bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (call_id, budget_id),
    FOREIGN KEY (workspace_id, budget_id) REFERENCES budgets (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX call_reservations_budget_id_idx ON call_reservations (workspace_id, budget_id);
