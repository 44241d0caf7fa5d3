{{- define "crewship.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "crewship.files" -}}
{{ .Values.files.existingClaim | default (printf "%s-files" (include "crewship.name" .)) }}
{{- end }}

{{- define "crewship.labels" -}}
app.kubernetes.io/name: crewship
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* A pod of one role: (list $ "api") */ -}}
{{- define "crewship.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: crewship
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "crewship.image" -}}
{{ required "Set image.repository: where the image of the release was pushed (make image builds it)" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "crewship.secret" -}}
{{ required "Set existingSecret.name: a secret with the keys and the addresses of the database (docs/kubernetes.md shows how to make one)" .Values.existingSecret.name }}
{{- end }}

{{- /* Variables of every container, and of each its own: (list $ (dict "NAME" "key of the secret" …)) */ -}}
{{- define "crewship.secrets" -}}
{{- $top := index . 0 -}}
{{- range $name, $key := index . 1 }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ include "crewship.secret" $top }}, key: {{ $key }}}}
{{- end }}
{{- end }}

{{- /* A right to execute programs in pods is one over all pods of a namespace, so those of the service are in another. */ -}}
{{- define "crewship.sandboxes" -}}
{{- $namespace := required "Set sandboxes.namespace: a namespace for sandboxes alone" .Values.sandboxes.namespace -}}
{{- if eq $namespace .Release.Namespace }}{{ fail "Set sandboxes.namespace to another namespace than the release's" }}{{ end -}}
{{ $namespace }}
{{- end }}

{{- define "crewship.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
