{{- /* The pod of a role: (list $ "api" .Values.api) */ -}}
{{- define "crewship.pod" -}}
{{- $top := index . 0 -}}{{- $role := index . 1 -}}{{- $values := index . 2 -}}
{{- $keys := $top.Values.existingSecret.keys -}}
{{- $commands := and (eq $role "worker") $values.commands -}}
{{- $sandboxes := and (eq $role "worker") $top.Values.sandboxes.enabled -}}
metadata:
  labels:
    {{- include "crewship.selector" (list $top $role) | nindent 4 }}
  annotations:
    checksum/settings: {{ $top.Values.settings | toJson | sha256sum }}
spec:
  serviceAccountName: {{ include "crewship.name" $top }}{{ if $sandboxes }}-worker{{ end }}
  automountServiceAccountToken: {{ $sandboxes }}
  enableServiceLinks: false
  {{- if $commands }}
  hostUsers: false
  {{- end }}
  {{- with $top.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    {{- if $commands }}
    seccompProfile: {type: Unconfined}
    appArmorProfile: {type: Unconfined}
    {{- else }}
    seccompProfile: {type: RuntimeDefault}
    {{- end }}
  terminationGracePeriodSeconds: {{ ternary $values.drainSeconds 30 (eq $role "worker") }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "crewship.selector" (list $top $role) | nindent 10 }}
  containers:
    - name: {{ $role }}
      image: {{ include "crewship.image" $top }}
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      args: [serve]
      env:
        - {name: CREWSHIP_ROLE, value: {{ $role }}}
        - {name: CREWSHIP_PUBLIC_URL, value: {{ required "Set publicUrl: the address that users see" $top.Values.publicUrl | quote }}}
        - {name: CREWSHIP_STORAGE_BASE_PATH, value: /files}
        {{- with $top.Values.trustedProxies }}
        - {name: CREWSHIP_TRUSTED_PROXY_CIDRS, value: {{ join "," . | quote }}}
        {{- end }}
        {{- if eq $role "worker" }}
        - {name: CREWSHIP_MAX_CONCURRENT_RUNS, value: {{ $values.concurrentRuns | quote }}}
        {{- end }}
        {{- if $sandboxes }}
        - {name: CREWSHIP_CONTAINER_PROVIDER, value: kubernetes}
        - {name: CREWSHIP_KUBERNETES_NAMESPACE, value: {{ include "crewship.sandboxes" $top }}}
        - {name: CREWSHIP_KUBERNETES_CLAIM, value: {{ required "Set sandboxes.claim: a claim in sandboxes.namespace, of the volume with the files" $top.Values.sandboxes.claim }}}
        - {name: CREWSHIP_KUBERNETES_POLICY, value: {{ include "crewship.name" $top }}-sandboxes}
        {{- with $top.Values.sandboxes.runtimeClass }}
        - {name: CREWSHIP_KUBERNETES_RUNTIME_CLASS, value: {{ . }}}
        {{- end }}
        {{- end }}
        {{- include "crewship.secrets" (list $top (dict "DATABASE_URL" $keys.databaseUrl "NEXTAUTH_SECRET" $keys.authSecret "ENCRYPTION_KEY" $keys.encryptionKey "CREWSHIP_ADMIN_TOKEN_HMAC_KEY" $keys.adminTokenKey "CREWSHIP_METRICS_TOKEN" $keys.metricsToken)) | nindent 8 }}
        {{- range $name, $value := $top.Values.settings }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      {{- with $top.Values.settingsFromSecrets }}
      envFrom:
        {{- range . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8080}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 15
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- if eq $role "api" }}
      lifecycle:
        preStop: {sleep: {seconds: 5}} # until the endpoints of the service are without this pod
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- include "crewship.security" $top | nindent 8 }}
        {{- if $commands }}
        procMount: Unmasked
        {{- end }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        - {name: files, mountPath: /files}
  volumes:
    - {name: data, emptyDir: {}}
    - {name: tmp, emptyDir: {}}
    - name: files
      persistentVolumeClaim: {claimName: {{ include "crewship.files" $top }}}
  {{- with $top.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $top.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $top.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
