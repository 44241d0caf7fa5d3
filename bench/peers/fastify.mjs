// Fastify with postgres.js: REST for cases A, B, C, and GraphQL for D, E by MODE = yoga | yoga-jit | mercurius | mercurius-jit.
// The connection comes from libpq's environment variables.
import crypto from 'node:crypto'
import DataLoader from 'dataloader'
import Fastify from 'fastify'
import postgres from 'postgres'

const { MODE, PORT, POOL_SIZE } = process.env
const sql = postgres({ max: Number(POOL_SIZE) })
const app = Fastify({ logger: false })

const newId = () => 'c' + [...crypto.randomBytes(24)].map(byte => (byte % 36).toString(36)).join('')

async function member(authorization, workspace) {
  const hash = crypto.createHash('sha256').update(authorization.slice('Bearer '.length)).digest()
  const [found] = await sql`
    SELECT t.user_id, m.role FROM tokens t JOIN memberships m ON m.user_id = t.user_id AND m.workspace_id = ${workspace}
    WHERE t.token_hash = ${hash} AND (t.expires_at IS NULL OR t.expires_at > now())`
  return found
}

const columns = sql.unsafe([
  'id', 'workspace_id', 'name', 'slug', 'description', 'color', 'icon', 'avatar_style', 'container_memory_mb', 'container_cpus',
  'container_ttl_hours', 'network_mode', 'allowed_domains', 'runtime_image', 'devcontainer', 'mcp_config', 'cached_image', 'max_agents',
  'issue_prefix', 'issue_counter', 'budget_usd', 'created_by', 'created_at', 'updated_at', 'deleted_at',
].map(name => `c.${name}`).join(', '))
const counts = sql.unsafe(`
  (SELECT count(*)::int FROM agents a WHERE a.crew_id = c.id AND a.deleted_at IS NULL) agents,
  (SELECT count(*)::int FROM crew_members m WHERE m.crew_id = c.id) members`)

app.get('/api/v1/crews', async (request, reply) => {
  const workspace = request.query.workspace_id
  if (!await member(request.headers.authorization, workspace)) return reply.code(403).send({})
  return await sql`
    SELECT ${columns}, ${counts} FROM crews c
    WHERE c.workspace_id = ${workspace} AND c.deleted_at IS NULL ORDER BY c.created_at DESC, c.id LIMIT 50`
})

app.get('/api/v1/crews/:id', async (request, reply) => {
  const workspace = request.query.workspace_id
  if (!await member(request.headers.authorization, workspace)) return reply.code(403).send({})
  const [crew] = await sql`
    SELECT ${columns}, ${counts} FROM crews c WHERE c.id = ${request.params.id} AND c.workspace_id = ${workspace} AND c.deleted_at IS NULL`
  return crew
})

app.post('/api/v1/issues', async (request, reply) => {
  const workspace = request.query.workspace_id
  const { crew_id: crew, title, description, priority } = request.body
  const caller = await member(request.headers.authorization, workspace)
  if (!caller) return reply.code(403).send({})
  const issue = await sql.begin(async transaction => {
    const id = newId()
    const [{ issue_prefix: prefix, issue_counter: number }] = await transaction`
      UPDATE crews SET issue_counter = issue_counter + 1 WHERE id = ${crew} AND workspace_id = ${workspace} RETURNING issue_prefix, issue_counter`
    const identifier = `${prefix}-${number}`
    const [created] = await transaction`
      INSERT INTO issues (id, workspace_id, crew_id, number, identifier, title, description, status, priority, created_by)
      VALUES (${id}, ${workspace}, ${crew}, ${number}, ${identifier}, ${title}, ${description}, 'BACKLOG', ${priority}, ${caller.user_id})
      RETURNING *`
    await transaction`
      INSERT INTO audit_logs (workspace_id, user_id, action, entity, entity_id, data)
      VALUES (${workspace}, ${caller.user_id}, 'issue.created', 'issue', ${id}, ${transaction.json({ identifier })})`
    await transaction`
      INSERT INTO events (workspace_id, type, payload)
      VALUES (${workspace}, 'issue.created', ${transaction.json({ id, crew_id: crew, identifier })})`
    return created
  })
  return reply.code(201).send(issue)
})

const typeDefs = `
  type Agent { id: ID! name: String! status: String! }
  type Crew { id: ID! name: String! slug: String! agents: [Agent!]! }
  type Query { crews(workspaceId: ID!): [Crew!]! crew(workspaceId: ID!, id: ID!): Crew }`

async function gate(context, workspace) {
  if (!await member(context.authorization, workspace)) throw new Error('forbidden')
}

const resolvers = {
  Crew: { agents: (crew, _, context) => context.agents.load(crew.id) },
  Query: {
    crews: async (_, { workspaceId }, context) => {
      await gate(context, workspaceId)
      return sql`
        SELECT id, name, slug FROM crews WHERE workspace_id = ${workspaceId} AND deleted_at IS NULL ORDER BY created_at DESC, id LIMIT 50`
    },
    crew: async (_, { workspaceId, id }, context) => {
      await gate(context, workspaceId)
      const [crew] = await sql`SELECT id, name, slug FROM crews WHERE id = ${id} AND workspace_id = ${workspaceId} AND deleted_at IS NULL`
      return crew
    },
  },
}

async function agentsOf(crews) {
  const found = new Map(crews.map(id => [id, []]))
  const rows = await sql`
    SELECT crew_id, id, name, status FROM agents WHERE crew_id = ANY (${crews}) AND deleted_at IS NULL ORDER BY created_at, id`
  for (const agent of rows) found.get(agent.crew_id).push(agent)
  return crews.map(id => found.get(id))
}

const contextOf = authorization => ({ authorization, agents: new DataLoader(agentsOf) })

if (MODE.startsWith('yoga')) {
  const { createSchema, createYoga } = await import('graphql-yoga')
  const plugins = MODE === 'yoga-jit' ? [(await import('@envelop/graphql-jit')).useGraphQlJit()] : []
  const context = ({ request }) => contextOf(request.headers.get('authorization'))
  const yoga = createYoga({ schema: createSchema({ typeDefs, resolvers }), logging: false, plugins, context })
  app.route({ url: '/graphql', method: ['GET', 'POST'], handler: (request, reply) => yoga.handleNodeRequestAndResponse(request, reply) })
} else {
  const { default: mercurius } = await import('mercurius')
  app.register(mercurius, { schema: typeDefs, resolvers, jit: MODE === 'mercurius-jit' ? 1 : 0, context: request => contextOf(request.headers.authorization) })
}
await app.listen({ port: Number(PORT), host: '127.0.0.1' })
