// A mission's board by Fastify, Mercurius with graphql-jit, postgres.js and DataLoader, on the service's tables.
import crypto from 'node:crypto'
import DataLoader from 'dataloader'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import postgres from 'postgres'

const { PORT, POOL_SIZE } = process.env
const sql = postgres({ max: Number(POOL_SIZE) })
const app = Fastify({ logger: false })

const typeDefs = `
  scalar Time
  type Agent { id: ID! name: String! status: String! }
  type ModelCall { id: ID! model: String! inputTokens: Int! outputTokens: Int! costUsd: Float }
  type Run { id: ID! status: String! model: String startedAt: Time finishedAt: Time modelCalls: [ModelCall!]! }
  type Runs { nodes: [Run!]! }
  type Assignment { id: ID! status: String! runs(first: Int): Runs! }
  type Task {
    id: ID! title: String! status: String! dependsOn: [ID!]! iteration: Int tokenCount: Int estimatedCost: Float agent: Agent assignment: Assignment
  }
  type Tasks { nodes: [Task!]! }
  type TaskStats { total: Int! completed: Int! failed: Int! inProgress: Int! }
  type Mission {
    id: ID! title: String! status: String! totalEstimatedCost: Float startedAt: Time leadAgent: Agent taskStats: TaskStats! tasks(first: Int): Tasks!
  }
  type Query { mission(workspaceId: ID!, crewId: ID!, id: ID!): Mission }`

async function gate(authorization, workspace) {
  const hash = crypto.createHash('sha256').update(authorization.slice('Bearer '.length)).digest('hex')
  const [found] = await sql`
    SELECT t.user_id FROM cli_tokens t JOIN memberships m ON m.user_id = t.user_id AND m.workspace_id = ${workspace}
    WHERE t.token_hash = ${hash} AND (t.expires_at IS NULL OR t.expires_at > now())`
  if (!found) throw new Error('forbidden')
}

const one = select => new DataLoader(async ids => {
  const found = new Map((await select(ids)).map(row => [row.id, row]))
  return ids.map(id => found.get(id) ?? null)
})
const many = select => new DataLoader(async keys => {
  const found = new Map(keys.map(key => [key, []]))
  for (const row of await select(keys)) found.get(row.of).push(row)
  return keys.map(key => found.get(key))
})

const contextOf = request => ({
  authorization: request.headers.authorization,
  agents: one(ids => sql`SELECT id, name, status FROM agents WHERE id = ANY (${ids})`),
  assignments: one(ids => sql`SELECT id, status FROM assignments WHERE id = ANY (${ids})`),
  runs: many(ids => sql`
    SELECT assignment_id AS "of", id, status, model, started_at AS "startedAt", finished_at AS "finishedAt"
    FROM runs WHERE assignment_id = ANY (${ids}) ORDER BY began_at DESC, id DESC`),
  calls: many(ids => sql`
    SELECT run_id AS "of", id, model, input_tokens::int AS "inputTokens", output_tokens::int AS "outputTokens", cost_micros / 1000000.0::float8 AS "costUsd"
    FROM model_calls WHERE run_id = ANY (${ids}) ORDER BY created_at DESC, id DESC`),
})

const resolvers = {
  Query: {
    mission: async (_, { workspaceId, crewId, id }, context) => {
      await gate(context.authorization, workspaceId)
      const [mission] = await sql`
        SELECT id, title, status, total_estimated_cost AS "totalEstimatedCost", started_at AS "startedAt", lead_agent_id FROM missions
        WHERE workspace_id = ${workspaceId} AND crew_id = ${crewId} AND id = ${id}`
      return mission
    },
  },
  Mission: {
    leadAgent: (mission, _, context) => context.agents.load(mission.lead_agent_id),
    taskStats: async mission => (await sql`
      SELECT count(*)::int total, count(*) FILTER (WHERE status = 'COMPLETED')::int completed, count(*) FILTER (WHERE status = 'FAILED')::int failed,
        count(*) FILTER (WHERE status = 'IN_PROGRESS')::int AS "inProgress"
      FROM mission_tasks WHERE mission_id = ${mission.id}`)[0],
    tasks: async (mission, { first }) => ({ nodes: await sql`
      SELECT id, title, status, depends_on AS "dependsOn", iteration, token_count::int AS "tokenCount", estimated_cost AS "estimatedCost",
        assigned_agent_id, assignment_id
      FROM mission_tasks WHERE mission_id = ${mission.id} ORDER BY task_order, created_at, id LIMIT ${first}` }),
  },
  Task: {
    agent: (task, _, context) => task.assigned_agent_id && context.agents.load(task.assigned_agent_id),
    assignment: (task, _, context) => task.assignment_id && context.assignments.load(task.assignment_id),
  },
  Assignment: { runs: async (assignment, { first }, context) => ({ nodes: (await context.runs.load(assignment.id)).slice(0, first) }) },
  Run: { modelCalls: (run, _, context) => context.calls.load(run.id) },
}

app.register(mercurius, { schema: typeDefs, resolvers, jit: 1, context: contextOf })
await app.listen({ port: Number(PORT), host: '127.0.0.1' })
