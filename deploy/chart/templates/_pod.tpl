{{- define "mcdns.pod" -}}
metadata:
  annotations:
    checksum/settings: {{ include "mcdns.settings" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
  labels:
    {{- include "mcdns.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "mcdns.fullname" . }}
  automountServiceAccountToken: {{ if include "mcdns.inHost" . }}true{{ else }}false{{ end }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ .Values.user }}
    runAsGroup: {{ .Values.user }}
    fsGroup: {{ .Values.user }}
    seccompProfile: {type: RuntimeDefault}
    {{- if lt (int .Values.ports.dns) 1024 }}
    sysctls:
      - {name: net.ipv4.ip_unprivileged_port_start, value: {{ .Values.ports.dns | quote }}}
    {{- end }}
  containers:
    - name: mcdns
      image: {{ include "mcdns.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - run
        - --settings=/etc/mcdns/settings.yaml
        {{- if .Values.hostOnly.enabled }}
        - --host-only
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      {{- with .Values.extraEnv }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: dns-udp, containerPort: {{ .Values.ports.dns }}, protocol: UDP}
        - {name: dns-tcp, containerPort: {{ .Values.ports.dns }}, protocol: TCP}
        {{- if .Values.encrypted.secretName }}
        {{- if .Values.encrypted.dot }}
        - {name: dot, containerPort: {{ .Values.ports.tls }}, protocol: TCP}
        {{- end }}
        {{- if .Values.encrypted.doq }}
        - {name: doq, containerPort: {{ .Values.ports.tls }}, protocol: UDP}
        {{- end }}
        {{- if .Values.encrypted.doh }}
        - {name: doh, containerPort: {{ .Values.ports.https }}, protocol: TCP}
        {{- end }}
        {{- end }}
        - {name: admin, containerPort: {{ .Values.ports.admin }}, protocol: TCP}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      # It lives as long as it runs; it is ready while it can answer anything, stale or not.
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 3
      {{- if and .Values.drainSeconds (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}
      lifecycle:
        preStop: {sleep: {seconds: {{ .Values.drainSeconds }}}}
      {{- end }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: settings, mountPath: /etc/mcdns/settings.yaml, subPath: settings.yaml, readOnly: true}
        - {name: state, mountPath: /var/lib/mcdns}
        {{- with .Values.encrypted.secretName }}
        - {name: tls, mountPath: /etc/mcdns/tls, readOnly: true}
        {{- end }}
        {{- if not (include "mcdns.inHost" .) }}
        - {name: host, mountPath: /etc/mcdns/host, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: settings
      configMap: {name: {{ include "mcdns.fullname" . }}}
    {{- if eq .Values.state.kind "emptyDir" }}
    - name: state
      emptyDir: {sizeLimit: {{ .Values.state.size }}}
    {{- end }}
    {{- with .Values.encrypted.secretName }}
    - name: tls
      secret: {secretName: {{ . }}}
    {{- end }}
    {{- if not (include "mcdns.inHost" .) }}
    - name: host
      secret: {secretName: {{ .Values.hostOnly.kubeconfigSecret }}}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
  {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else }}
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "mcdns.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end }}
